// The token of an operator: on the port for other machines every request needs one. It is forgotten with the tab.

const KEY = "meridian.token";

class Token {
  value = $state(sessionStorage.getItem(KEY) ?? "");
  /** Why the control plane wants one, or another one. */
  wanted = $state<string>();
  /** How often one was entered. */
  entered = $state(0);

  refuse(why: string) {
    this.wanted = why;
  }

  enter(value: string) {
    sessionStorage.setItem(KEY, value);
    this.value = value;
    this.entered++;
    this.wanted = undefined;
  }
}

export const token = new Token();
