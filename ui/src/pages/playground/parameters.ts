/** Parameters of answers, kept in the browser for each deployment. */

export interface Parameters {
  system: string;
  /** Empty means that the model server decides. */
  temperature: number | "";
  topP: number | "";
  maxTokens: number | "";
  seed: number | "";
  /** Texts that end an answer, one in each line. */
  stop: string;
}

export const DEFAULTS: Parameters = {
  system: "",
  temperature: 0.7,
  topP: "",
  maxTokens: 512,
  seed: "",
  stop: "",
};

function key(who: string): string {
  return `aiplatform.chat.${who}`;
}

/** Return the parameters that were last used with a deployment. */
export function loadParameters(who: string): Parameters {
  try {
    const text = localStorage.getItem(key(who));
    return text ? { ...DEFAULTS, ...(JSON.parse(text) as Partial<Parameters>) } : DEFAULTS;
  } catch {
    return DEFAULTS;
  }
}

export function saveParameters(who: string, parameters: Parameters): void {
  try {
    localStorage.setItem(key(who), JSON.stringify(parameters));
  } catch {
    // Without storage they hold until the page is closed.
  }
}

/** Return the fields of the request; what is left to the server is left out. */
export function requestFields(parameters: Parameters): Record<string, unknown> {
  const stop = parameters.stop.split("\n").filter((line) => line !== "");
  const fields = {
    temperature: parameters.temperature,
    top_p: parameters.topP,
    max_tokens: parameters.maxTokens,
    seed: parameters.seed,
    stop: stop.length > 0 ? stop : "",
  };
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== ""));
}
