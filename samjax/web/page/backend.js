// Former path of `io/backend.js`, for scripts that import it.

export * from "./io/backend.js";
