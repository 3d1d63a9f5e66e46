import { useLingui } from "@lingui/react/macro";
import { ActionIcon, Menu, Tooltip, useMantineColorScheme } from "@mantine/core";
import { IconDeviceDesktop, IconLanguage, IconMoon, IconSun } from "@tabler/icons-react";
import { LOCALES, type Locale } from "./locale";
import { useChoosePreferences } from "./theme";

/** Choose language and theme. */
export function PreferenceMenus({ signedIn }: { signedIn: boolean }) {
  const { t, i18n } = useLingui();
  const { colorScheme } = useMantineColorScheme();
  const { chooseLocale, chooseTheme } = useChoosePreferences(signedIn);
  const themes = [
    { value: "light", label: t`Light`, icon: IconSun, scheme: "light" },
    { value: "dark", label: t`Dark`, icon: IconMoon, scheme: "dark" },
    { value: "system", label: t`Like the system`, icon: IconDeviceDesktop, scheme: "auto" },
  ] as const;
  const Current = themes.find(({ scheme }) => scheme === colorScheme)?.icon ?? IconDeviceDesktop;
  return (
    <>
      <Menu>
        <Menu.Target>
          <Tooltip label={t`Language`}>
            <ActionIcon size="lg" aria-label={t`Language`}>
              <IconLanguage size={18} />
            </ActionIcon>
          </Tooltip>
        </Menu.Target>
        <Menu.Dropdown>
          {Object.entries(LOCALES).map(([locale, name]) => (
            <Menu.Item
              key={locale}
              lang={locale}
              aria-current={i18n.locale === locale}
              fw={i18n.locale === locale ? 600 : undefined}
              onClick={() => void chooseLocale(locale as Locale)}
            >
              {name}
            </Menu.Item>
          ))}
        </Menu.Dropdown>
      </Menu>
      <Menu>
        <Menu.Target>
          <Tooltip label={t`Theme`}>
            <ActionIcon size="lg" aria-label={t`Theme`}>
              <Current size={18} />
            </ActionIcon>
          </Tooltip>
        </Menu.Target>
        <Menu.Dropdown>
          {themes.map(({ value, label, icon: Icon, scheme }) => (
            <Menu.Item
              key={value}
              leftSection={<Icon size={16} />}
              aria-current={colorScheme === scheme}
              fw={colorScheme === scheme ? 600 : undefined}
              onClick={() => chooseTheme(value)}
            >
              {label}
            </Menu.Item>
          ))}
        </Menu.Dropdown>
      </Menu>
    </>
  );
}
