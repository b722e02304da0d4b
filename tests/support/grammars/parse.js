// Reads [[language, query], …] from stdin; writes, for each, null or where it cannot be read.
import { readFileSync } from "node:fs";
import { parser as logql } from "@grafana/lezer-logql";
import { parser as traceql } from "@grafana/lezer-traceql";

const parsers = { logql, traceql };

function mistake(language, query) {
  let found = null;
  parsers[language].parse(query).iterate({
    enter(node) {
      if (node.type.isError && found === null) found = `${language} cannot be read from character ${node.from}: ${query}`;
    },
  });
  return found;
}

const queries = JSON.parse(readFileSync(0, "utf8"));
process.stdout.write(JSON.stringify(queries.map(([language, query]) => mistake(language, query))));
