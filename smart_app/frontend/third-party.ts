/** Lists whose code is in the bundle, with their licences; the build ends at one we do not accept. */

import { readdirSync, readFileSync } from "node:fs";
import { join, sep } from "node:path";

import type { Plugin } from "vite";

const ACCEPTED = new Set(["0BSD", "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "BSL-1.0", "ISC", "MIT"]);
const FOLDER = `${sep}node_modules${sep}`;
const LICENCE_FILE = /^(licen[cs]e|copying|notice)(\.(md|txt))?$/i;

interface Manifest {
  name: string;
  version: string;
  license?: string;
}

export function thirdParty(fileName: string): Plugin {
  return {
    name: "third-party",
    generateBundle(_options, bundle) {
      const folders = new Set<string>();
      for (const chunk of Object.values(bundle)) {
        if (chunk.type !== "chunk") continue;
        for (const [id, module] of Object.entries(chunk.modules)) {
          const folder = packageOf(id);
          if (folder && module.renderedLength > 0) folders.add(folder);
        }
      }
      const source = [...folders].sort().map(entryOf).join(`\n${"-".repeat(80)}\n`);
      this.emitFile({ type: "asset", fileName, source });
    },
  };
}

function packageOf(id: string): string | undefined {
  const path = id.replace(/^\0/, "").split("?")[0] ?? "";
  const at = path.lastIndexOf(FOLDER);
  if (at < 0) return undefined;
  const start = at + FOLDER.length;
  const parts = path.slice(start).split(sep);
  return join(path.slice(0, start), ...parts.slice(0, parts[0]?.startsWith("@") ? 2 : 1));
}

function entryOf(folder: string): string {
  const manifest = JSON.parse(readFileSync(join(folder, "package.json"), "utf8")) as Manifest;
  const licence = manifest.license ?? "none stated";
  const choices = licence.replace(/[()]/g, "").split(" OR ");
  if (!choices.some((choice) => ACCEPTED.has(choice))) {
    throw new Error(`${manifest.name} is under a licence that we do not accept: ${licence}`);
  }
  const file = readdirSync(folder).find((name) => LICENCE_FILE.test(name));
  const text = file ? readFileSync(join(folder, file), "utf8") : "";
  return `${manifest.name} ${manifest.version}\nLicence: ${licence}\n\n${text.trim()}\n`;
}
