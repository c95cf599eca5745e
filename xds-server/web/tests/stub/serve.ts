// `npm run stub`: the page with a fleet that is none, for work on the page.
import { stub } from "./server.ts";

const PORT = 18001;
stub().server.listen(PORT, "127.0.0.1", () => console.log(`http://127.0.0.1:${PORT}/`));
