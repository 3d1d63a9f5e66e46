import { fileURLToPath } from "node:url";
import { lingui } from "@lingui/vite-plugin";
import { tanstackRouter } from "@tanstack/router-plugin/vite";
import react from "@vitejs/plugin-react";
import { defineConfig, type Plugin } from "vite";
import { licences } from "./licences";

/** The running platform that `npm run dev` takes its data from. */
const platform = process.env.AIPLATFORM_URL ?? "http://127.0.0.1:8400";

/** Let the browser fetch the shell, in which all pages stand, together with the entry. */
const preloadShell: Plugin = {
  name: "preload-shell",
  transformIndexHtml: {
    order: "post",
    handler(_html, { bundle, chunk: entry }) {
      const chunks = Object.values(bundle ?? {}).filter((file) => file.type === "chunk");
      const shell = chunks.find(({ facadeModuleId: id }) => id?.includes("/src/routes/_app.tsx?"));
      if (!shell) return [];
      return [shell.fileName, ...shell.imports]
        .filter((file) => file !== entry?.fileName && !entry?.imports.includes(file))
        .map((file) => ({
          tag: "link",
          attrs: { rel: "modulepreload", crossorigin: true, href: `/${file}` },
          injectTo: "head",
        }));
    },
  },
};

export default defineConfig({
  plugins: [
    tanstackRouter({ target: "react", autoCodeSplitting: true }),
    react(),
    lingui({ macroTransform: true }),
    preloadShell,
    licences(),
  ],
  resolve: { alias: { "@": fileURLToPath(new URL("./src", import.meta.url)) } },
  build: {
    outDir: process.env.AIPLATFORM_UI_OUT ?? "../src/aiplatform/server/ui/static",
    emptyOutDir: true,
    target: "es2022",
    manifest: true,
    rolldownOptions: {
      output: {
        // By default a page consists of a hundred small files, and loads slowly.
        codeSplitting: {
          groups: [
            // As files of their own, each route would list the names of many others.
            { name: "routes", test: /src\/routes\/.*\.tsx$/, priority: 4 },
            {
              name: "start",
              tags: ["$initial"],
              test: /\/ui\/(src|node_modules)\/(?!main\.tsx)/,
              priority: 3,
            },
            { name: "icons", test: /@tabler/, priority: 2 },
            { name: "shared", minShareCount: 8, priority: 1 },
          ],
        },
      },
    },
    // Inlined files would need `data:` in the content security policy.
    assetsInlineLimit: 0,
  },
  worker: { format: "es" },
  server: {
    // The first run's sample rows are the ones of the examples.
    fs: { allow: [".", "../examples"] },
    proxy: {
      "/api": { target: platform, changeOrigin: true, headers: { origin: platform } },
      "/v1": { target: platform, changeOrigin: true, headers: { origin: platform } },
    },
  },
});
