// Where the names of regions stand, so that they do not cover each other.

export interface Point {
  x: number;
  y: number;
}

/** The side of its point on which a label stands. */
export type Side = "right" | "left" | "above" | "below";

interface Box {
  left: number;
  right: number;
  top: number;
  bottom: number;
}

const SIDES: Side[] = ["right", "left", "above", "below"];
/** Distance from the point, in pixels. */
const OFFSET = 12;

function box(point: Point, width: number, height: number, side: Side): Box {
  const x = { right: point.x + OFFSET, left: point.x - OFFSET - width, above: point.x - width / 2, below: point.x - width / 2 }[side];
  const y = { right: point.y - height / 2, left: point.y - height / 2, above: point.y - OFFSET - height, below: point.y + OFFSET }[side];
  return { left: x, right: x + width, top: y, bottom: y + height };
}

function overlap(a: Box, b: Box): number {
  const x = Math.min(a.right, b.right) - Math.max(a.left, b.left);
  const y = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
  return x > 0 && y > 0 ? x * y : 0;
}

function around({ x, y }: Point, radius: number): Box {
  return { left: x - radius, right: x + radius, top: y - radius, bottom: y + radius };
}

/** The side for each label, chosen one after the other: the one that covers the least and is within the map's width. `arcs`: points on them. */
export function sides(points: Point[], widths: number[], height: number, mapWidth: number, arcs: Point[]): Side[] {
  const taken = [...points.map((point) => around(point, 9)), ...arcs.map((point) => around(point, 3))];
  return points.map((point, index) => {
    const width = widths[index] ?? 0;
    const costs = SIDES.map((side, preference) => {
      const it = box(point, width, height, side);
      const outside = it.left < 0 || it.right > mapWidth;
      return taken.reduce((sum, other) => sum + overlap(it, other), 0) + (outside ? 1e6 : 0) + preference;
    });
    const best = SIDES[costs.indexOf(Math.min(...costs))] ?? "right";
    taken.push(box(point, width, height, best));
    return best;
  });
}
