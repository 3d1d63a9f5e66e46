import { type MantineColorScheme, useMantineColorScheme } from "@mantine/core";
import { useEffect } from "react";
import { useSavePreferences, useSession } from "@/api/session";
import { activateLocale, type Locale } from "./locale";

export type Theme = "light" | "dark" | "system";

export function toScheme(theme: Theme): MantineColorScheme {
  return theme === "system" ? "auto" : theme;
}

/** Follow the language and the theme that the account remembers. */
export function usePreferences(): void {
  const preferences = useSession()?.preferences;
  const { setColorScheme } = useMantineColorScheme();
  const language = preferences?.language;
  const theme = preferences?.theme;
  useEffect(() => {
    if (language) void activateLocale(language === "zh" ? "zh-CN" : "en");
  }, [language]);
  // biome-ignore lint/correctness/useExhaustiveDependencies: the setter changes with each scheme
  useEffect(() => {
    if (theme) setColorScheme(toScheme(theme));
  }, [theme]);
}

/** Return functions that change language and theme here immediately, and in the account. */
export function useChoosePreferences(signedIn: boolean) {
  const save = useSavePreferences();
  const { setColorScheme } = useMantineColorScheme();
  return {
    chooseLocale: async (locale: Locale) => {
      await activateLocale(locale);
      if (signedIn) save.mutate({ language: locale === "zh-CN" ? "zh" : "en" });
    },
    chooseTheme: (theme: Theme) => {
      setColorScheme(toScheme(theme));
      if (signedIn) save.mutate({ theme });
    },
  };
}
