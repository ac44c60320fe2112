// Two languages, each loaded when it is asked for.
import { type Composer, createI18n, type LocaleMessages, type VueMessageType } from 'vue-i18n'
import { recall, remember } from '@/kit/remembered'

export type Language = 'fr' | 'en'
export const LANGUAGES: readonly Language[] = ['fr', 'en']

const load: Record<Language, () => Promise<{ default: Record<string, unknown> }>> = {
  en: () => import('@/locales/en.json'),
  fr: () => import('@/locales/fr.json'),
}

export const i18n = createI18n({ legacy: false, locale: 'en', messages: {}, missingWarn: false, fallbackWarn: false })
const composer = i18n.global as unknown as Composer

export function preferred(): Language {
  const said = recall('language')
  if (said === 'fr' || said === 'en') return said
  return navigator.languages.some((tag) => tag.toLowerCase().startsWith('fr')) && !navigator.language.toLowerCase().startsWith('en') ? 'fr' : 'en'
}

export async function speak(language: Language, keep = false): Promise<void> {
  if (!composer.availableLocales.includes(language)) {
    composer.setLocaleMessage(language, (await load[language]()).default as LocaleMessages<VueMessageType>)
  }
  composer.locale.value = language
  document.documentElement.lang = language
  if (keep) remember('language', language)
}
