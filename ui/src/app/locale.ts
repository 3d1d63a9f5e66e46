import { i18n } from "@lingui/core";
import { setApiLanguage } from "@/api/client";

export const LOCALES = { en: "English", "zh-CN": "简体中文" } as const;
export type Locale = keyof typeof LOCALES;

const KEY = "aiplatform.language";

const catalogs: Record<Locale, () => Promise<{ messages: Record<string, unknown> }>> = {
  en: () => import("@/locales/en.gen"),
  "zh-CN": () => import("@/locales/zh-CN.gen"),
};

/** Return the language that this browser last used, else the one that it prefers. */
export function preferredLocale(): Locale {
  const stored = localStorage.getItem(KEY);
  if (stored === "en" || stored === "zh-CN") return stored;
  return navigator.languages.some((language) => language.startsWith("zh")) ? "zh-CN" : "en";
}

/** Load the texts of a language and show the page in it. */
export async function activateLocale(locale: Locale): Promise<void> {
  const { messages } = await catalogs[locale]();
  i18n.loadAndActivate({ locale, messages: messages as Parameters<typeof i18n.load>[1] });
  document.documentElement.lang = locale;
  setApiLanguage(locale);
  localStorage.setItem(KEY, locale);
}
