import { nextTick } from 'vue'
import { createRouter, createWebHistory, START_LOCATION } from 'vue-router'
import { whenLoggedOut } from '@/api/client'
import { announce } from '@/kit/announce'
import { ended, host, known, user } from '@/session'

export const router = createRouter({
  history: createWebHistory(),
  routes: [
    { path: '/', name: 'start', component: () => import('@/screens/Start.vue') },
    { path: '/join', name: 'join', component: () => import('@/screens/Join.vue') },
    { path: '/records', name: 'records', component: () => import('@/screens/Records.vue') },
    { path: '/records/:id', name: 'record', component: () => import('@/screens/Record.vue'), props: true },
    {
      path: '/office',
      component: () => import('@/screens/Office.vue'),
      redirect: { name: 'activity' },
      children: [
        { path: 'activity', name: 'activity', component: () => import('@/screens/office/Activity.vue') },
        { path: 'demo', name: 'demo', component: () => import('@/screens/office/Demo.vue') },
        { path: 'central', name: 'central', component: () => import('@/screens/office/Central.vue') },
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
