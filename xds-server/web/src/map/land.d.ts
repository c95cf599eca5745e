/** The outlines of the land as the `d` of an SVG path; see `build/land.ts`. */
declare module "virtual:land" {
  const path: string;
  export default path;
}
