export const OPEN_PALETTE = "aiplatform:palette";

export function openPalette(): void {
  document.dispatchEvent(new Event(OPEN_PALETTE));
}
