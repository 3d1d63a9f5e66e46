import { defineConfig } from "@lingui/cli";
import { formatter } from "@lingui/format-po";

/** Each page keeps its texts beside its code, so that changes to different pages never meet. */
export default defineConfig({
  sourceLocale: "en",
  locales: ["en", "zh-CN"],
  catalogs: [
    {
      path: "<rootDir>/src/app/locales/{locale}",
      include: ["<rootDir>/src/app", "<rootDir>/src/api"],
    },
    { path: "<rootDir>/src/design/locales/{locale}", include: ["<rootDir>/src/design"] },
    {
      path: "<rootDir>/src/pages/{name}/locales/{locale}",
      include: ["<rootDir>/src/pages/{name}/"],
    },
  ],
  catalogsMergePath: "<rootDir>/src/locales/{locale}.gen",
  format: formatter({ origins: false, lineNumbers: false }),
  compileNamespace: "ts",
});
