import { nextTick } from 'vue'
import { createRouter, createWebHistory, START_LOCATION } from 'vue-router'
import { whenLoggedOut } from '@/api/client'
import { announce } from '@/kit/announce'
import { ended, host, known, user } from '@/session'

// the code of each screen
const Start = () => import('@/screens/Start.vue')
const Join = () => import('@/screens/Join.vue')
const Records = () => import('@/screens/Records.vue')
const Office = () => import('@/screens/Office.vue')
const Activity = () => import('@/screens/office/Activity.vue')
const Demo = () => import('@/screens/office/Demo.vue')
const Central = () => import('@/screens/office/Central.vue')

/** Loads the screens that a record is left for: they open while the office's computer is away. */
export function loadScreens(): void {
  const screens = host.value ? [Join, Records, Start, Office, Activity, Demo, Central] : [Join, Records]
  // what does not arrive is asked for again when it is opened
  for (const screen of screens) screen().catch(() => undefined)
}

export const router = createRouter({
  history: createWebHistory(),
  routes: [
    { path: '/', name: 'start', component: Start },
    { path: '/join', name: 'join', component: Join },
    { path: '/records', name: 'records', component: Records },
    { path: '/records/:id', name: 'record', component: () => import('@/screens/Record.vue'), props: true },
    {
      path: '/office',
      component: Office,
      redirect: { name: 'activity' },
      children: [
        { path: 'activity', name: 'activity', component: Activity },
        { path: 'demo', name: 'demo', component: Demo },
        { path: 'central', name: 'central', component: Central },
      ],
    },
    { path: '/:rest(.*)*', redirect: '/' },
  ],
})

router.beforeEach(async (to) => {
  await known()
  if (user.value === null) {
    if (to.name === 'join') return true
    return { name: 'join', query: to.path === '/' ? {} : { to: to.path } }
  }
  // a colleague who opens the invitation's link again goes on where the records are
  if (to.name === 'join' && !to.hash) return { name: host.value ? 'start' : 'records' }
  if (to.name === 'start' && !host.value) return { name: 'records' }
  return true
})

// A browser says by itself that a page was loaded; what changes inside the page it does not say.
router.afterEach(async (to, from, failure) => {
  if (failure || from === START_LOCATION || to.path === from.path) return
  await nextTick()
  const main = document.getElementById('main')
  // a screen that puts the focus into its first field knows better
  if (!main?.contains(document.activeElement)) main?.focus({ preventScroll: true })
  // a record says its title itself, once it knows it
  if (to.name !== 'record') announce(document.title)
})

// An open record stays: what it has not sent yet is on the screen, and its pill says what is wrong.
whenLoggedOut(() => {
  const { name, fullPath } = router.currentRoute.value
  if (user.value === null || name === 'record' || name === 'join') return
  ended()
  void router.replace({ name: 'join', query: { to: fullPath, ended: '1' } })
})
