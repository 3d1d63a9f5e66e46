import { createFileRoute } from "@tanstack/react-router";
import { InvitationPage } from "@/pages/sign-in/InvitationPage";

export const Route = createFileRoute("/invitation")({ component: InvitationPage });
