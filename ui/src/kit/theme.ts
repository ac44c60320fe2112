// Light or dark: as the device says, unless this person chose.
import { ref, watchEffect } from 'vue'
import { recall, remember } from './remembered'

export type Theme = 'system' | 'light' | 'dark'

const device = window.matchMedia('(prefers-color-scheme: dark)')
const deviceDark = ref(device.matches)
device.addEventListener('change', (event) => (deviceDark.value = event.matches))

const said = recall('theme')
export const theme = ref<Theme>(said === 'light' || said === 'dark' ? said : 'system')
export const dark = ref(false)

watchEffect(() => {
  dark.value = theme.value === 'system' ? deviceDark.value : theme.value === 'dark'
  document.documentElement.classList.toggle('dark', dark.value)
  document.documentElement.style.colorScheme = dark.value ? 'dark' : 'light'
})

export function setTheme(next: Theme): void {
  theme.value = next
  remember('theme', next === 'system' ? null : next)
}
