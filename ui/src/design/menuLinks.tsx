import { Menu } from "@mantine/core";
import { createLink } from "@tanstack/react-router";
import { forwardRef } from "react";

/** An entry of a menu as a typed link. It is apart from the other links: menus are large. */
export const MenuItemLink = createLink(
  forwardRef<HTMLAnchorElement, React.ComponentProps<typeof Menu.Item<"a">>>((props, ref) => (
    <Menu.Item component="a" ref={ref} {...props} />
  )),
);
