import { useLingui } from "@lingui/react/macro";
import { ActionIcon, CopyButton, Tooltip } from "@mantine/core";
import { IconCheck, IconCopy } from "@tabler/icons-react";
import classes from "./Code.module.css";

interface Props {
  children: string;
  /** What the code is, for those who don't see it. */
  label: string;
  /** Break long lines instead of scrolling. */
  wrap?: boolean;
}

/** Show code or configuration, with a button that copies it. */
export function Code({ children, label, wrap = false }: Props) {
  const { t } = useLingui();
  return (
    <div className={classes.block}>
      <section className={classes.scroll} tabIndex={0} aria-label={label}>
        <pre className={classes.code} data-wrap={wrap || undefined}>
          {children}
        </pre>
      </section>
      <CopyButton value={children} timeout={1500}>
        {({ copied, copy }) => (
          <Tooltip label={copied ? t`Copied` : t`Copy`}>
            <ActionIcon className={classes.copy} onClick={copy} aria-label={t`Copy`}>
              {copied ? <IconCheck size={16} /> : <IconCopy size={16} />}
            </ActionIcon>
          </Tooltip>
        )}
      </CopyButton>
    </div>
  );
}
