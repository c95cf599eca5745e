// Builds the page into `target/page`: index.html, one script, one style sheet, an icon and the licences of what is bundled.
import { svelte } from "@sveltejs/vite-plugin-svelte";
import { defineConfig } from "vite";
import { land } from "./build/land.ts";

/** The control plane or the stub that `npm run dev` shows. */
const server = process.env["MERIDIAN_STATUS"] ?? "http://127.0.0.1:18001";

export default defineConfig({
  // Relative: the page works behind a path of a proxy as well.
  base: "./",
  plugins: [land(), svelte()],
  build: {
    outDir: "../../target/page",
    emptyOutDir: true,
    // The content security policy allows no `data:` addresses.
    assetsInlineLimit: 0,
    modulePreload: false,
    license: { fileName: "licenses.md" },
    rolldownOptions: {
      output: {
        entryFileNames: "page.js",
        assetFileNames: "[name][extname]",
      },
    },
  },
  server: { proxy: { "/v1": server } },
});
