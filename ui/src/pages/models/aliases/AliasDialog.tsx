import { useLingui } from "@lingui/react/macro";
import { Button, Group, Modal, Stack, Text, Textarea, TextInput } from "@mantine/core";
import { type FormEvent, useState } from "react";
import { type Alias, useDeleteAlias, useMoveAlias, useUndoAlias } from "@/api/aliases";
import type { Model } from "@/api/types";
import { ErrorNotice } from "@/design/ErrorNotice";
import { modelLabel } from "../versions";

export type AliasChange = { kind: "create" } | { kind: "move" | "undo" | "delete"; alias: Alias };

interface Props {
  model: Model;
  aliases: readonly Alias[];
  change: AliasChange;
  onClose: () => void;
}

/** Ask for the reason of a change, and for the name of a new alias. */
export function AliasDialog({ model, aliases, change, onClose }: Props) {
  const { t } = useLingui();
  const [typed, setTyped] = useState("");
  const [reason, setReason] = useState("");
  const move = useMoveAlias();
  const undo = useUndoAlias();
  const remove = useDeleteAlias();
  const { kind } = change;
  const name = kind === "create" ? typed.trim().replace(/^@/, "") : change.alias.name;
  // A name that exists already moves from where this page shows it.
  const current = kind === "create" ? aliases.find((one) => one.name === name) : change.alias;
  const label = modelLabel(model);
  const [title, action, needed] = {
    create: [t`Set an alias of ${label}`, t`Set the alias`, true] as const,
    move: [t`Move @${name} to ${label}`, t`Move the alias`, true] as const,
    undo: [t`Undo the last move of @${name}`, t`Undo the move`, false] as const,
    delete: [t`Delete the alias @${name}`, t`Delete the alias`, false] as const,
  }[kind];
  const request = { create: move, move, undo, delete: remove }[kind];
  const submit = (event: FormEvent) => {
    event.preventDefault();
    const why = reason.trim();
    if (!name || (needed && !why)) return;
    const options = { onSuccess: onClose };
    const asked = { model: model.uuid, alias: name, reason: why };
    const expected = current?.model ?? null;
    if (kind === "delete") remove.mutate(asked, options);
    else if (kind === "undo") undo.mutate({ ...asked, expected }, options);
    else move.mutate({ ...asked, expected }, options);
  };
  return (
    <Modal opened onClose={onClose} title={title}>
      <form onSubmit={submit}>
        <Stack gap="md">
          {kind === "create" && (
            <TextInput
              data-autofocus
              label={t`Alias`}
              description={t`2 to 50 lower-case letters, digits and . _ -, such as production.`}
              maxLength={51}
              value={typed}
              onChange={(event) => setTyped(event.currentTarget.value)}
            />
          )}
          {kind !== "create" && (
            <Text size="sm">
              {kind === "delete"
                ? t`The version is kept. Deployments that follow the alias go on with it.`
                : t`Deployments that follow the alias are updated without a failed request.`}
            </Text>
          )}
          <Textarea
            label={t`Reason`}
            description={t`The history and the audit trail keep it.`}
            rows={2}
            maxLength={1000}
            value={reason}
            onChange={(event) => setReason(event.currentTarget.value)}
          />
          <ErrorNotice error={request.error} />
          <Group justify="flex-end" gap="sm">
            <Button variant="default" onClick={onClose}>
              {t`Cancel`}
            </Button>
            <Button
              type="submit"
              color={kind === "delete" ? "red" : undefined}
              disabled={!name || (needed && !reason.trim())}
              loading={request.isPending}
            >
              {action}
            </Button>
          </Group>
        </Stack>
      </form>
    </Modal>
  );
}
