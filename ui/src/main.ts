import './main.css'
import { createApp } from 'vue'
import App from '@/App.vue'
import { i18n, preferred, speak } from '@/i18n'
import '@/kit/theme'
import { router } from '@/router'

await speak(preferred())
createApp(App).use(i18n).use(router).mount('#app')
