import { useEffect, useRef, useState } from "react";
import { type ChatUsage, streamChat } from "@/api/chat";
import { ProblemError } from "@/api/problem";
import {
  type Answer,
  type AnswerState,
  type Conversation,
  EMPTY,
  edited,
  messagesFor,
  settled,
  withAnswer,
} from "./chat";
import { type Parameters, requestFields } from "./parameters";

/** How often the page draws what has arrived; more often would cost more than it shows. */
const FLUSH = 40;
const SAVE = 400;

export interface Asked {
  who: string;
  parameters: Parameters;
}

export interface Chat {
  conversation: Conversation;
  busy: boolean;
  /** The conversation that was cleared last, until the next question. */
  cleared: Conversation | null;
  send: (question: string, asked: readonly Asked[]) => void;
  retry: (turn: string, asked: Asked) => void;
  edit: (turn: string, question: string, asked: readonly Asked[]) => void;
  stop: (turn?: string, who?: string) => void;
  clear: () => void;
  restore: () => void;
}

/** The conversation of a project's playground, and its answers while they are written. */
export function useChat(project: string): Chat {
  const key = `aiplatform.playground.${project}`;
  const [conversation, setConversation] = useState<Conversation>(() => load(key));
  const [cleared, setCleared] = useState<Conversation | null>(null);
  const latest = useRef(conversation);
  const running = useRef(new Map<string, AbortController>());

  const update = (change: (before: Conversation) => Conversation) => {
    latest.current = change(latest.current);
    setConversation(latest.current);
  };

  useEffect(() => {
    const timer = setTimeout(() => save(key, conversation), SAVE);
    return () => clearTimeout(timer);
  }, [key, conversation]);
  useEffect(() => {
    const answers = running.current;
    return () => {
      for (const controller of answers.values()) controller.abort();
      answers.clear();
      save(key, settled(latest.current));
    };
  }, [key]);

  const ask = async (turn: string, { who, parameters }: Asked) => {
    const id = `${turn} ${who}`;
    running.current.get(id)?.abort();
    const controller = new AbortController();
    running.current.set(id, controller);
    const messages = messagesFor(latest.current, turn, who, parameters.system);
    const began = performance.now();
    let first = 0;
    let last = 0;
    const answer: Answer = { text: "", state: "streaming", pieces: 0 };
    const tell = (state: AnswerState) => {
      // An answer that was replaced or removed meanwhile must not come back.
      if (running.current.get(id) !== controller) return;
      answer.state = state;
      if (first) {
        answer.firstAfter = first - began;
        answer.writing = last - first;
      }
      update((before) => withAnswer(before, turn, who, () => ({ ...answer })));
    };
    let timer: ReturnType<typeof setTimeout> | undefined;
    const arrived = () => {
      last = performance.now();
      first ||= last;
      answer.pieces += 1;
      timer ??= setTimeout(() => {
        timer = undefined;
        tell("streaming");
      }, FLUSH);
    };
    tell("streaming");
    try {
      await streamChat(
        {
          model: who,
          messages: messages.map((message) => ({ ...message })),
          ...requestFields(parameters),
        },
        {
          onPiece: (text) => {
            answer.text += text;
            arrived();
          },
          onReasoning: (text) => {
            answer.reasoning = (answer.reasoning ?? "") + text;
            arrived();
          },
          onFinish: (reason) => {
            answer.finish = reason;
          },
          onUsage: (usage: ChatUsage) => {
            answer.usage = usage;
          },
        },
        controller.signal,
      );
      clearTimeout(timer);
      tell("done");
    } catch (error) {
      clearTimeout(timer);
      if (!controller.signal.aborted) answer.error = explain(error);
      tell(controller.signal.aborted ? "stopped" : "failed");
    } finally {
      if (running.current.get(id) === controller) running.current.delete(id);
    }
  };

  const askAll = (turn: string, asked: readonly Asked[]) => {
    for (const one of asked) void ask(turn, one);
  };
  const stop = (turn?: string, who?: string) => {
    for (const [id, controller] of running.current)
      if (turn === undefined || id === `${turn} ${who}`) controller.abort();
  };
  const forget = () => {
    stop();
    running.current.clear();
  };
  return {
    conversation,
    busy: conversation.turns.some(({ answers }) =>
      Object.values(answers).some(({ state }) => state === "streaming"),
    ),
    cleared,
    send: (question, asked) => {
      const id = String(Date.now());
      update(({ turns }) => ({ turns: [...turns, { id, question, answers: {} }] }));
      setCleared(null);
      askAll(id, asked);
    },
    retry: (turn, asked) => void ask(turn, asked),
    edit: (turn, question, asked) => {
      forget();
      update((before) => edited(before, turn, question));
      askAll(turn, asked);
    },
    stop,
    clear: () => {
      forget();
      setCleared(settled(latest.current));
      update(() => EMPTY);
    },
    restore: () => {
      if (cleared) update(() => cleared);
      setCleared(null);
    },
  };
}

function explain(error: unknown): { code: string; detail: string } {
  if (error instanceof ProblemError) return { code: error.code, detail: error.problem.detail };
  return { code: "lost", detail: "" };
}

function load(key: string): Conversation {
  try {
    const text = sessionStorage.getItem(key);
    return text ? settled(JSON.parse(text) as Conversation) : EMPTY;
  } catch {
    return EMPTY;
  }
}

function save(key: string, conversation: Conversation): void {
  try {
    sessionStorage.setItem(key, JSON.stringify(conversation));
  } catch {
    // A full store loses the chat on a reload; the chat itself goes on.
  }
}
