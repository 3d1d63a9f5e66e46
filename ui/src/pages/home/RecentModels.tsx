import { useLingui } from "@lingui/react/macro";
import { Text, Title } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { recentModelsOptions } from "@/api/home";
import { projectParam } from "@/api/projects";
import type { Project } from "@/api/types";
import { LinkInto } from "@/design/refs";
import { Status } from "@/design/Status";
import { TimeAgo } from "@/design/values";
import classes from "./HomePage.module.css";

/** The newest models of all projects. */
export function RecentModels({ projects }: { projects: readonly Project[] }) {
  const { t } = useLingui();
  const models = useQuery(recentModelsOptions).data?.items;
  if (!models) return null;
  const param = (uuid: string) => {
    const project = projects.find((one) => one.uuid === uuid);
    return project ? projectParam(project) : uuid;
  };
  return (
    <section>
      <Title order={2} mb="sm">{t`Recent models`}</Title>
      {models.map((model) => {
        const name = model.version ? `${model.name}@${model.version}` : model.name;
        return (
          <div key={model.uuid} className={classes.news}>
            <span className="truncate">
              {model.project ? (
                <LinkInto
                  project={param(model.project)}
                  kind="model"
                  section="models"
                  uuid={model.uuid}
                  name={name}
                />
              ) : (
                name
              )}
            </span>
            <span className="secondary">
              {model.status === "ready" ? (
                <TimeAgo time={model.created_at} />
              ) : (
                <Status status={model.status} />
              )}
            </span>
          </div>
        );
      })}
      {models.length === 0 && (
        <Text size="sm" c="dimmed">
          {t`Models that you import or train appear here.`}
        </Text>
      )}
    </section>
  );
}
