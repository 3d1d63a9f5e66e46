import { ActionIcon, Anchor, Button, UnstyledButton } from "@mantine/core";
import { createLink } from "@tanstack/react-router";
import { forwardRef } from "react";

/** Mantine's controls as typed links of the router; `preload` is on hover for all of them. */

export const AnchorLink = createLink(
  forwardRef<HTMLAnchorElement, React.ComponentProps<typeof Anchor<"a">>>((props, ref) => (
    <Anchor ref={ref} {...props} />
  )),
);

export const ButtonLink = createLink(
  forwardRef<HTMLAnchorElement, React.ComponentProps<typeof Button<"a">>>((props, ref) => (
    <Button component="a" ref={ref} {...props} />
  )),
);

export const ActionIconLink = createLink(
  forwardRef<HTMLAnchorElement, React.ComponentProps<typeof ActionIcon<"a">>>((props, ref) => (
    <ActionIcon component="a" ref={ref} {...props} />
  )),
);

export const PlainLink = createLink(
  forwardRef<HTMLAnchorElement, React.ComponentProps<typeof UnstyledButton<"a">>>((props, ref) => (
    <UnstyledButton component="a" ref={ref} {...props} />
  )),
);
