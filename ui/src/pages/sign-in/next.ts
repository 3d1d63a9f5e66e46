/** Return where to go after signing in: only ever an address of this page. */
export function localPath(next: string | undefined): string {
  return next?.startsWith("/") && !/^\/[/\\]/.test(next) ? next : "/";
}
