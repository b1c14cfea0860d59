/** One entry with a fixed name, which the page links to; its parts have their digest in the name. */
import { fileURLToPath } from "node:url";

import { defineConfig } from "vite";

import { thirdParty } from "./third-party";

export default defineConfig({
  base: "./",
  plugins: [thirdParty("THIRD-PARTY.txt")],
  // vtk.js can write XML files. We write none, and its XML builder expects Node's own modules: with
  // Vite's empty stand-ins the whole bundle ends in "Class extends value undefined".
  resolve: { alias: { xmlbuilder2: fileURLToPath(new URL("src/no-xml.ts", import.meta.url)) } },
  build: {
    outDir: "../static/viewer",
    emptyOutDir: true,
    target: "es2022",
    modulePreload: { polyfill: false },
    chunkSizeWarningLimit: 4000,
    rolldownOptions: {
      input: "src/main.ts",
      output: {
        entryFileNames: "viewer.js",
        chunkFileNames: "[name]-[hash].js",
        assetFileNames: "[name]-[hash][extname]",
      },
    },
  },
});
