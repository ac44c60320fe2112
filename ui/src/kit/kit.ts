// Hands the component kit the icons that it uses itself, from the page's own files. Loaded with the first screen that needs the kit.
import { addIcon } from '@iconify/vue'
import { init } from 'virtual:nuxt-ui-icons'

init((name, icon) => addIcon(name, icon))
