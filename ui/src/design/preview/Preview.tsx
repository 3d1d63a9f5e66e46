import { HoverCard } from "@mantine/core";
import { lazy, type ReactElement, Suspense } from "react";
import type { PreviewKind } from "./PreviewCard";

const PreviewCard = lazy(() =>
  import("./PreviewCard").then((module) => ({ default: module.PreviewCard })),
);

const UUID = /^[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}$/i;

interface Props {
  kind: PreviewKind;
  uuid: string;
  /** The reference itself; it must take a ref and the handlers of the pointer. */
  children: ReactElement;
}

/** Show the essentials of a thing while the pointer rests on a reference to it. */
export function Preview({ kind, uuid, children }: Props) {
  // What is referred to by name may be several things; its page tells which.
  if (!UUID.test(uuid)) return children;
  return (
    <HoverCard
      openDelay={400}
      closeDelay={80}
      width={300}
      shadow="md"
      position="top-start"
      // The card repeats what the page behind the link says: nothing to announce.
      withRoles={false}
    >
      <HoverCard.Target>{children}</HoverCard.Target>
      <HoverCard.Dropdown>
        <Suspense fallback={null}>
          <PreviewCard kind={kind} uuid={uuid} />
        </Suspense>
      </HoverCard.Dropdown>
    </HoverCard>
  );
}
