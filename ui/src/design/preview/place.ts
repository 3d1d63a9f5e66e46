const CARD_WIDTH = 300;
const CARD_HEIGHT = 190;
const GAP = 6;

interface Box {
  left: number;
  top: number;
  bottom: number;
}

/** Return where a card stands: below its reference if there is room, else above; never outside. */
export function placeCard(
  reference: Box,
  screen: { width: number; height: number },
): { left: number; top?: number; bottom?: number } {
  const left = Math.max(8, Math.min(reference.left, screen.width - CARD_WIDTH - 8));
  if (reference.bottom + GAP + CARD_HEIGHT <= screen.height || reference.top < CARD_HEIGHT)
    return { left, top: reference.bottom + GAP };
  return { left, bottom: screen.height - reference.top + GAP };
}
