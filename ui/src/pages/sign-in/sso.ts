/** Single sign-on with a proof key: only the browser that began it can end it. */

const KEY = "aiplatform.sso";

export interface Begun {
  verifier: string;
  state: string;
  next: string;
}

/** Leave for the provider. It comes back to `/sso` with a code. */
export async function startSso(next: string): Promise<void> {
  const begun: Begun = { verifier: random(), state: random(), next };
  sessionStorage.setItem(KEY, JSON.stringify(begun));
  const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(begun.verifier));
  const query = new URLSearchParams({
    redirect_uri: `${window.location.origin}/sso`,
    code_challenge: base64url(new Uint8Array(digest)),
    state: begun.state,
  });
  window.location.assign(`/api/v1/auth/oidc/login?${query}`);
}

/** Return what this browser began, once, if the state that came back is the same. */
export function takeBegun(state: string | undefined): Begun | null {
  const text = sessionStorage.getItem(KEY);
  sessionStorage.removeItem(KEY);
  if (!text) return null;
  const begun = JSON.parse(text) as Begun;
  return begun.state === state ? begun : null;
}

function random(): string {
  return base64url(crypto.getRandomValues(new Uint8Array(32)));
}

function base64url(bytes: Uint8Array): string {
  const text = btoa(String.fromCharCode(...bytes));
  return text.replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}
