import { Trans, useLingui } from "@lingui/react/macro";
import { Button, Group, Progress, Text } from "@mantine/core";
import { formatDuration, formatPercent, formatSize } from "@/design/format";
import { Size, useNow } from "@/design/values";
import type { ChosenFile } from "./importFiles";
import classes from "./Models.module.css";
import type { UploadState } from "./useModelUpload";

interface Props {
  files: readonly ChosenFile[];
  state: UploadState;
  onStop: () => void;
}

/** How far an upload is, at which speed, and how long it will still take. */
export function UploadProgress({ files, state, onStop }: Props) {
  const { t, i18n } = useLingui();
  useNow();
  const total = files.reduce((sum, { file }) => sum + file.size, 0);
  const sent = files.reduce((sum, { path }) => sum + (state.sent.get(path) ?? 0), 0);
  const seconds = state.startedAt ? (Date.now() - state.startedAt) / 1000 : 0;
  const speed = seconds > 1 ? sent / seconds : 0;
  const share = total > 0 ? sent / total : 0;
  const percent = formatPercent(share, i18n.locale);
  const perSecond = formatSize(speed, i18n.locale);
  const left = speed > 0 ? formatDuration((total - sent) / speed, i18n.locale) : null;
  return (
    <section aria-label={t`Upload`}>
      <Group gap="sm" justify="space-between" mb={4}>
        <Text size="sm">
          {state.active && left ? (
            <Trans>
              {percent} sent, {perSecond} each second, about {left} left
            </Trans>
          ) : (
            <Trans>{percent} sent</Trans>
          )}
        </Text>
        {state.active && (
          <Button variant="default" onClick={onStop}>
            {t`Stop the upload`}
          </Button>
        )}
      </Group>
      <Progress value={share * 100} size="sm" aria-label={t`Upload`} />
      {!state.active && (
        <Text size="sm" c="dimmed" mt="xs">
          {t`Files that have arrived are kept; the rest is sent when you upload again.`}
        </Text>
      )}
      <ul className={classes.files}>
        {files.map(({ path, file }) => (
          <li key={path} className={classes.file}>
            <span className="truncate">{path}</span>
            <Size bytes={file.size} />
            <Progress
              className={classes.bar}
              size={3}
              value={file.size > 0 ? ((state.sent.get(path) ?? 0) / file.size) * 100 : 100}
              aria-label={path}
            />
          </li>
        ))}
      </ul>
    </section>
  );
}
