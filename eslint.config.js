import js from "@eslint/js";
import globals from "globals";

export default [
  { ignores: ["samjax/web/page/vendor/"] },
  js.configs.recommended,
  {
    rules: {
      eqeqeq: "error",
      "no-var": "error",
      "prefer-const": "error",
      "no-unused-vars": ["error", { argsIgnorePattern: "^_", varsIgnorePattern: "^_" }],
    },
  },
  {
    files: ["samjax/web/page/**/*.js", "samjax/notebook/static/*.js", "tests/notebook/bridge.js"],
    languageOptions: { globals: { ...globals.browser, ...globals.worker } },
  },
  {
    files: ["tests/web/page/**/*.js", "tests/notebook/*.test.js"],
    languageOptions: { globals: globals.node },
  },
];
