import { useEffect, useRef } from "react";
import type { Conversation } from "./chat";

const NEAR = 120;

/** Keep the end of the conversation in sight, until one scrolls up. */
export function useFollow(conversation: Conversation): void {
  const follow = useRef(true);
  const turns = conversation.turns.length;
  useEffect(() => {
    const main = document.getElementById("main");
    if (!main) return;
    const listen = () => {
      follow.current = main.scrollHeight - main.scrollTop - main.clientHeight < NEAR;
    };
    main.addEventListener("scroll", listen, { passive: true });
    return () => main.removeEventListener("scroll", listen);
  }, []);
  // biome-ignore lint/correctness/useExhaustiveDependencies: a new question is always shown
  useEffect(() => {
    follow.current = true;
  }, [turns]);
  // biome-ignore lint/correctness/useExhaustiveDependencies: each piece makes the page longer
  useEffect(() => {
    const main = document.getElementById("main");
    if (main && follow.current && turns > 0) main.scrollTop = main.scrollHeight;
  }, [conversation]);
}
