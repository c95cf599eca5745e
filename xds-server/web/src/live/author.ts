// The name of the person at this browser, as changes have it in `by`.

const KEY = "meridian.by";

export const author = {
  get: () => localStorage.getItem(KEY) ?? "",
  set: (name: string) => localStorage.setItem(KEY, name),
};
