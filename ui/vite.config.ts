import { fileURLToPath } from "node:url";
import { lingui } from "@lingui/vite-plugin";
import { tanstackRouter } from "@tanstack/router-plugin/vite";
import react from "@vitejs/plugin-react";
import { defineConfig } from "vite";

/** The running platform that `npm run dev` takes its data from. */
const platform = process.env.AIPLATFORM_URL ?? "http://127.0.0.1:8400";

export default defineConfig({
  plugins: [
    tanstackRouter({ target: "react", autoCodeSplitting: true }),
    react(),
    lingui({ macroTransform: true }),
  ],
  resolve: { alias: { "@": fileURLToPath(new URL("./src", import.meta.url)) } },
  build: {
    outDir: process.env.AIPLATFORM_UI_OUT ?? "../src/aiplatform/server/ui/static",
    emptyOutDir: true,
    target: "es2022",
    manifest: true,
    rolldownOptions: {
      output: {
        // One file of all routes: as files of their own, each would list the names of many others.
        codeSplitting: { groups: [{ name: "routes", test: /src\/routes\/.*\.tsx$/ }] },
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
