// One JSON object a line: commands come in on stdin, events go out on stdout. The process ends with stdin.
import readline from "node:readline";

export function say(event, fields = {}) {
  process.stdout.write(JSON.stringify({ event, ...fields }, plain) + "\n");
}

// plain shows 64-bit numbers as decimal strings, bytes as base64.
function plain(_key, value) {
  if (value && typeof value === "object" && "low" in value && "high" in value) return value.toString();
  if (value && value.type === "Buffer" && Array.isArray(value.data)) return Buffer.from(value.data).toString("base64");
  return value;
}

// obey calls verbs[line.do](line) for each line, one after the other.
export async function obey(verbs) {
  for await (const line of readline.createInterface({ input: process.stdin })) {
    if (!line.trim()) continue;
    try {
      const command = JSON.parse(line);
      const verb = verbs[command.do];
      if (!verb) throw new Error(`no verb ${command.do}`);
      await verb(command);
    } catch (err) {
      say("error", { message: String(err.message ?? err) });
    }
  }
  process.exit(0);
}
