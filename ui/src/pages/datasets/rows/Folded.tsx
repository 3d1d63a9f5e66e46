import { useLingui } from "@lingui/react/macro";
import { UnstyledButton } from "@mantine/core";
import { type ReactNode, useLayoutEffect, useRef, useState } from "react";
import classes from "./RowContent.module.css";

/** Show the first eight lines of a long text, and the rest when asked for. */
export function Folded({ children }: { children: ReactNode }) {
  const { t } = useLingui();
  const box = useRef<HTMLDivElement>(null);
  const [open, setOpen] = useState(false);
  const [long, setLong] = useState(false);
  useLayoutEffect(() => {
    const element = box.current;
    if (element && !open) setLong(element.scrollHeight > element.clientHeight + 2);
  });
  return (
    <>
      <div ref={box} className={classes.text} data-folded={!open || undefined}>
        {children}
      </div>
      {(long || open) && (
        <UnstyledButton
          className={classes.more}
          aria-expanded={open}
          onClick={() => setOpen(!open)}
        >
          {open ? t`Show less` : t`Show all`}
        </UnstyledButton>
      )}
    </>
  );
}
