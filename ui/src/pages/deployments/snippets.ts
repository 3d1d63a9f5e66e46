/** Code that asks a deployment. Pure functions. */

export interface Call {
  /** The address of the platform, without a slash at the end. */
  origin: string;
  /** The names of project and deployment. */
  project: string;
  deployment: string;
  /** Ask the base model, without the adapter. */
  base?: boolean;
  messages: readonly { role: string; content: string }[];
  /** Parameters that are not left to the server. */
  parameters?: Record<string, unknown>;
}

/** The variable that the snippets read the key from. */
export const KEY = "AIPLATFORM_TOKEN";

/** Return the name of a deployment in requests, which all members of its project may use. */
export function modelName({
  project,
  deployment,
  base,
}: Omit<Call, "origin" | "messages">): string {
  return `${project}/${deployment}${base ? ":base" : ""}`;
}

/** Return a command for a shell of Linux or macOS. */
export function curlSnippet(call: Call): string {
  const { origin, messages, parameters = {} } = call;
  const body = JSON.stringify({ model: modelName(call), messages, ...parameters }, null, 2);
  return [
    `curl ${origin}/v1/chat/completions \\`,
    `  -H "Authorization: Bearer $${KEY}" \\`,
    `  -H "Content-Type: application/json" \\`,
    `  -d '${body.replaceAll("'", "'\\''")}'`,
  ].join("\n");
}

/** Return a program that uses the platform's own client, which reads the key by itself. */
export function pythonSnippet(call: Call): string {
  const { origin, project, deployment, messages, parameters = {} } = call;
  const given = Object.entries(parameters).map(([name, value]) => `    ${name}=${python(value)},`);
  return [
    "from aiplatform import Client",
    "",
    `client = Client(${python(origin)}, project=${python(project)})`,
    "answer = client.deployments.chat(",
    `    ${python(deployment)},`,
    `    ${python(messages, 1)},`,
    ...(call.base ? ["    base=True,"] : []),
    ...given,
    ")",
    "print(answer.text)",
  ].join("\n");
}

/** Return a program that uses the client of OpenAI. */
export function openaiSnippet(call: Call): string {
  const { origin, messages, parameters = {} } = call;
  const given = Object.entries(parameters).map(([name, value]) => `    ${name}=${python(value)},`);
  return [
    "import os",
    "",
    "from openai import OpenAI",
    "",
    `client = OpenAI(base_url=${python(`${origin}/v1`)}, api_key=os.environ["${KEY}"])`,
    "answer = client.chat.completions.create(",
    `    model=${python(modelName(call))},`,
    `    messages=${python(messages, 1)},`,
    ...given,
    ")",
    "print(answer.choices[0].message.content)",
  ].join("\n");
}

/** Return a value as Python writes it. */
export function python(value: unknown, level = 0): string {
  if (value === null || value === undefined) return "None";
  if (typeof value === "boolean") return value ? "True" : "False";
  if (typeof value === "number") return String(value);
  // The escapes of JSON are those of Python, but for halves of characters, which JSON escapes too.
  if (typeof value === "string") return JSON.stringify(value);
  if (Array.isArray(value)) {
    if (value.length === 0) return "[]";
    const inner = "    ".repeat(level + 1);
    const items = value.map((item) => `${inner}${python(item, level + 1)},`);
    return `[\n${items.join("\n")}\n${"    ".repeat(level)}]`;
  }
  const entries = Object.entries(value).map(
    ([name, item]) => `${JSON.stringify(name)}: ${python(item, level)}`,
  );
  return `{${entries.join(", ")}}`;
}
