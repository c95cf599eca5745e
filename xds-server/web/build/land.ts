// The outlines of the land as one SVG path, drawn when the page is built: the page needs neither the atlas nor code that reads it.
import { geoPath } from "d3-geo";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { feature } from "topojson-client";
import type { GeometryCollection, Topology } from "topojson-specification";
import type { Plugin } from "vite";
import { projection } from "../src/map/projection.ts";

/** The module that has the path as its default export. */
const MODULE = "virtual:land";

/** Digits after the point, in units of the map: a tenth of a unit is less than a pixel. */
const DIGITS = 1;

/** The land but Antarctica, where no region is. */
function path(): string {
  const file = createRequire(import.meta.url).resolve("world-atlas/land-110m.json");
  const atlas = JSON.parse(readFileSync(file, "utf8")) as Topology<{ land: GeometryCollection }>;
  const land = feature(atlas, atlas.objects.land);
  const draw = geoPath(projection(), null).digits(DIGITS);
  const isInhabited = (polygon: number[][][]) => polygon[0]?.some((point) => (point[1] ?? 0) > -60) ?? false;
  return land.features
    .map(({ geometry }) =>
      geometry.type === "MultiPolygon"
        ? draw({ type: "MultiPolygon", coordinates: geometry.coordinates.filter(isInhabited) })
        : draw(geometry),
    )
    .join("");
}

export function land(): Plugin {
  return {
    name: "land",
    resolveId: (id) => (id === MODULE ? `\0${MODULE}` : undefined),
    load: (id) => (id === `\0${MODULE}` ? `export default ${JSON.stringify(path())};` : undefined),
  };
}
