import { Trans, useLingui } from "@lingui/react/macro";
import { ActionIcon, Alert, Button, Menu, Switch, Title } from "@mantine/core";
import { IconDots } from "@tabler/icons-react";
import { useQuery, useSuspenseQuery } from "@tanstack/react-query";
import { useNavigate } from "@tanstack/react-router";
import { useState } from "react";
import { datasetChoicesOptions } from "@/api/choices";
import { experimentOptions } from "@/api/experiments";
import { useCanHere, useProject, useProjectParam } from "@/api/projects";
import {
  type Schedule,
  scheduleOptions,
  useChangeSchedule,
  useDeleteSchedule,
} from "@/api/schedules";
import { Code } from "@/design/Code";
import { Confirm } from "@/design/Confirm";
import { Figures } from "@/design/Figures";
import { formatExact } from "@/design/format";
import { AnchorLink } from "@/design/links";
import { PageHeader } from "@/design/PageHeader";
import { DatasetLink, ExperimentLink, UserName } from "@/design/refs";
import { Status } from "@/design/Status";
import { useComplain } from "@/design/useComplain";
import { Id, TimeUntil } from "@/design/values";
import { readAction, type ScheduledAction, writeAction } from "./action";
import { fromCron } from "./cron";
import { FiringTable } from "./FiringTable";
import { type ScheduleDraft, ScheduleForm } from "./ScheduleForm";
import type { ScheduleSearch } from "./search";
import { useActionText } from "./useActionText";
import { useRepetitionText } from "./useRepetition";

interface Props {
  uuid: string;
  search: ScheduleSearch;
  onSearch: (search: ScheduleSearch) => void;
}

/** One schedule: when it fires next, and what came of it before. */
export function SchedulePage({ uuid, search, onSearch }: Props) {
  const { t, i18n } = useLingui();
  const project = useProject();
  const param = useProjectParam();
  const can = useCanHere();
  const actionText = useActionText();
  const repetition = useRepetitionText();
  const schedule = useSuspenseQuery(scheduleOptions(uuid)).data;
  const change = useChangeSchedule(uuid);
  const complain = useComplain();
  const action = readAction(schedule.action);
  return (
    <>
      <PageHeader
        title={schedule.name}
        crumbs={[
          <AnchorLink key="project" to="/p/$project" params={{ project: param }}>
            {project.name}
          </AnchorLink>,
          <AnchorLink key="list" to="/p/$project/schedules" params={{ project: param }}>
            {t`Schedules`}
          </AnchorLink>,
        ]}
        aside={<Status status={schedule.enabled ? "active" : "inactive"} />}
        lead={
          schedule.next_at ? (
            <Trans>
              Next <TimeUntil time={schedule.next_at} />, {repetition(schedule.cron)} (
              {schedule.timezone})
            </Trans>
          ) : (
            t`Switched off: it does nothing until it is switched on.`
          )
        }
        actions={can("tasks:write") && <Actions schedule={schedule} onSearch={onSearch} />}
      />
      {!schedule.owner_is_active && (
        <Alert color="red" variant="outline" mb="md" title={t`Its owner's account is not active`}>
          {t`It is refused every time. A user who changes it becomes its owner.`}
        </Alert>
      )}
      <Figures
        items={[
          { label: actionText(action), value: <Subject action={action} /> },
          {
            label: t`If the platform was not running`,
            value: schedule.missed === "run_once" ? t`once afterwards` : t`do nothing`,
          },
          {
            label: t`While the last has not ended`,
            value: schedule.overlap === "allow" ? t`another one` : t`do nothing`,
          },
          { label: t`Owner`, value: <UserName user={schedule.owner} /> },
          { label: t`Id`, value: <Id value={schedule.uuid} /> },
        ]}
      />
      {can("tasks:write") && (
        <Switch
          mb="md"
          label={t`Switched on`}
          checked={schedule.enabled}
          onChange={(event) =>
            change.mutate({ enabled: event.currentTarget.checked }, { onError: complain })
          }
        />
      )}
      {schedule.enabled && schedule.upcoming.length > 0 && (
        <section>
          <Title order={2} mb="sm">{t`Next times`}</Title>
          <ol>
            {schedule.upcoming.map((time) => (
              <li key={time}>
                {formatExact(new Date(time), i18n.locale)}{" "}
                <span className="secondary">
                  <TimeUntil time={time} />
                </span>
              </li>
            ))}
          </ol>
        </section>
      )}
      <Title order={2} mt="lg" mb="sm">{t`History`}</Title>
      <FiringTable schedule={uuid} />
      {action.kind === "other" && (
        <section>
          <Title order={2} mt="lg" mb="sm">{t`What it submits`}</Title>
          <Code label={t`What it submits`}>{JSON.stringify(schedule.action, null, 2)}</Code>
        </section>
      )}
      {search.edit && can("tasks:write") && (
        <Edit schedule={schedule} onClose={() => onSearch({})} />
      )}
    </>
  );
}

/** What the schedule is about: an experiment or a dataset, by name. */
function Subject({ action }: { action: ScheduledAction }) {
  const { kind, subject, type } = action;
  const can = useCanHere();
  const project = useProject();
  const experiment = useQuery({
    ...experimentOptions(subject),
    enabled: kind === "run" && can("training:read"),
  }).data;
  const datasets = useQuery({
    ...datasetChoicesOptions(project.uuid),
    enabled: kind === "report" && can("datasets:read"),
  }).data;
  const short = subject.slice(0, 8);
  if (kind === "run") return <ExperimentLink uuid={subject} name={experiment?.name ?? short} />;
  if (kind === "other") return type;
  const dataset = datasets?.items.find((item) => item.uuid === subject);
  return <DatasetLink uuid={subject} name={dataset?.name ?? short} />;
}

function Edit({ schedule, onClose }: { schedule: Schedule; onClose: () => void }) {
  const { t } = useLingui();
  const change = useChangeSchedule(schedule.uuid);
  const action = readAction(schedule.action);
  const initial: ScheduleDraft = {
    ...fromCron(schedule.cron),
    name: schedule.name,
    kind: action.kind,
    subject: action.subject,
    cron: schedule.cron,
    timezone: schedule.timezone,
    missed: schedule.missed,
    overlap: schedule.overlap,
  };
  return (
    <ScheduleForm
      title={t`Change ${schedule.name}`}
      draftName={`schedule.${schedule.uuid}.${schedule.updated_at}`}
      initial={initial}
      opened
      onClose={onClose}
      action={t`Save`}
      pending={change.isPending}
      error={change.error}
      onSubmit={({ name, kind, subject, timezone, missed, overlap }, cron, done) =>
        change.mutate(
          {
            name: name.trim(),
            cron,
            timezone,
            missed,
            overlap,
            // An action that this form does not know, or that stays, is not sent.
            ...(kind !== "other" && (kind !== action.kind || subject !== action.subject)
              ? { action: writeAction(kind, subject, name.trim()) }
              : {}),
          },
          {
            onSuccess: () => {
              done();
              onClose();
            },
          },
        )
      }
    />
  );
}

function Actions({
  schedule,
  onSearch,
}: {
  schedule: Schedule;
  onSearch: (search: ScheduleSearch) => void;
}) {
  const { t } = useLingui();
  const project = useProjectParam();
  const navigate = useNavigate();
  const remove = useDeleteSchedule(schedule.uuid);
  const [removing, setRemoving] = useState(false);
  return (
    <>
      <Button variant="default" onClick={() => onSearch({ edit: true })}>
        {t`Change`}
      </Button>
      <Menu>
        <Menu.Target>
          <ActionIcon aria-label={t`More actions`} size="lg">
            <IconDots size={18} />
          </ActionIcon>
        </Menu.Target>
        <Menu.Dropdown>
          <Menu.Item color="red" onClick={() => setRemoving(true)}>
            {t`Delete`}
          </Menu.Item>
        </Menu.Dropdown>
      </Menu>
      <Confirm
        opened={removing}
        onClose={() => setRemoving(false)}
        title={t`Delete this schedule?`}
        action={t`Delete`}
        phrase={schedule.name}
        pending={remove.isPending}
        error={remove.error}
        onConfirm={() =>
          remove.mutate(undefined, {
            onSuccess: () => void navigate({ to: "/p/$project/schedules", params: { project } }),
          })
        }
      >
        {t`The schedule and its history are permanently deleted. Tasks that it has started are kept. To pause it instead, switch it off.`}
      </Confirm>
    </>
  );
}
