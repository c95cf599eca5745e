// How the map shows the globe. The build draws the land by it, the page the regions and the arcs.
import { geoNaturalEarth1, type GeoProjection } from "d3-geo";

/** Width of the map, in its units. */
export const WIDTH = 960;
/** Height of the map: from the north of Greenland to the south of Patagonia. */
export const HEIGHT = 440;

export function projection(): GeoProjection {
  return geoNaturalEarth1().scale(174).rotate([-11, 0]).translate([WIDTH / 2, 262]);
}
