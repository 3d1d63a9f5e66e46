import { useLingui } from "@lingui/react/macro";
import { Button, Group, Progress } from "@mantine/core";
import { useQuery, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { useProjectParam } from "@/api/projects";
import {
  continueUpload,
  type RunningUpload,
  type StoredUpload,
  stopUpload,
  uploadsOptions,
  useCancelUpload,
  useRunningUploads,
} from "@/api/uploads";
import { ErrorNotice } from "@/design/ErrorNotice";
import { formatDuration, formatPercent, formatSize } from "@/design/format";
import { ButtonLink } from "@/design/links";
import { useComplain } from "@/design/useComplain";
import { TimeUntil } from "@/design/values";
import { DropZone } from "./DropZone";
import classes from "./Upload.module.css";

/** Uploads under way: those of this page, and those that wait for their file after a reload. */
export function UploadList({ project }: { project: string }) {
  const { t } = useLingui();
  const running = useRunningUploads().filter((upload) => upload.project === project);
  const known = new Set(running.map((upload) => upload.uuid));
  const waiting = (useQuery(uploadsOptions(project)).data?.items ?? []).filter(
    (upload) => upload.status === "receiving" && !known.has(upload.uuid),
  );
  if (running.length + waiting.length === 0) return null;
  return (
    <ul className={classes.uploads} aria-label={t`Uploads`}>
      {running.map((upload) => (
        <Running key={upload.key} upload={upload} />
      ))}
      {waiting.map((upload) => (
        <Waiting key={upload.uuid} project={project} upload={upload} />
      ))}
    </ul>
  );
}

function Running({ upload }: { upload: RunningUpload }) {
  const { t } = useLingui();
  const param = useProjectParam();
  const cancel = useCancelUpload();
  const { key, name, filename, sent, size, status, result, uuid } = upload;
  const ended = status === "done" || status === "failed";
  return (
    <li className={classes.upload} data-status={status}>
      <span>
        <strong>{name}</strong> <span className="secondary">{filename}</span>
      </span>
      <Group gap="sm">
        {result && (
          <ButtonLink
            to="/p/$project/datasets/$dataset"
            params={{ project: param, dataset: result.dataset }}
          >
            {t`Open ${result.version}`}
          </ButtonLink>
        )}
        <Button
          variant="subtle"
          color="gray"
          onClick={() => {
            stopUpload(key);
            if (!ended && uuid) cancel.mutate(uuid);
          }}
        >
          {ended ? t`Close` : t`Cancel`}
        </Button>
      </Group>
      {!ended && (
        <Progress
          className={classes.wide}
          value={size > 0 ? (sent / size) * 100 : 100}
          animated={status === "reading"}
          size="sm"
          aria-label={t`Progress of ${name}`}
        />
      )}
      <span className={classes.wide} aria-live="polite">
        {status === "failed" ? (
          <ErrorNotice error={upload.error} />
        ) : (
          <span className="secondary">
            <How upload={upload} />
          </span>
        )}
      </span>
    </li>
  );
}

/** How far an upload is, how fast, and how long it still takes. */
function How({ upload }: { upload: RunningUpload }) {
  const { t, i18n } = useLingui();
  const { sent, size, speed, status } = upload;
  const locale = i18n.locale;
  if (status === "waiting")
    return <>{t`No connection. The upload goes on by itself as soon as the platform answers.`}</>;
  if (status === "reading")
    return <>{t`All bytes have arrived. The platform reads and checks the rows.`}</>;
  if (status === "done") return <>{t`The rows are stored, and the quality report is queued.`}</>;
  const share = size > 0 ? formatPercent(sent / size, locale) : "";
  const amount = t`${formatSize(sent, locale)} of ${formatSize(size, locale)}`;
  if (!speed) return <>{`${share} · ${amount}`}</>;
  const left = formatDuration((size - sent) / speed, locale);
  return <>{`${share} · ${amount} · ${formatSize(speed, locale)}/s · ${t`about ${left} left`}`}</>;
}

/** An upload that a reload or another browser has left unfinished. */
function Waiting({ project, upload }: { project: string; upload: StoredUpload }) {
  const { t, i18n } = useLingui();
  const queries = useQueryClient();
  const cancel = useCancelUpload();
  const complain = useComplain();
  const [wrong, setWrong] = useState<string | null>(null);
  const { filename, offset, length, uuid } = upload;
  const named = filename ?? t`the file`;
  const take = (file: File) => {
    const same = file.size === length && (filename === null || file.name === filename);
    setWrong(same ? null : file.name);
    if (same) continueUpload(project, upload, file, queries);
  };
  return (
    <li className={classes.upload} data-status="stored">
      <span>
        <strong>{upload.name ?? named}</strong>{" "}
        <span className="secondary">
          {t`${formatSize(offset, i18n.locale)} of ${formatSize(length, i18n.locale)} have arrived`}
          {" · "}
          {t`kept until`} <TimeUntil time={upload.expires_at} />
        </span>
      </span>
      <Button
        variant="subtle"
        color="gray"
        loading={cancel.isPending}
        onClick={() => cancel.mutate(uuid, { onError: complain })}
      >
        {t`Give it up`}
      </Button>
      <div className={classes.wide}>
        <DropZone
          title={t`Choose ${named} again to continue`}
          hint={
            wrong
              ? t`${wrong} is another file: its name or size differs.`
              : t`A page can't keep your file over a reload. What has arrived is not sent again.`
          }
          onFile={take}
        />
      </div>
    </li>
  );
}
