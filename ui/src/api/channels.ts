// What a page needs to listen to the office's channels, and how something is published there.
import { ask } from './client'

export interface Site { channel_token: string; current_user_id: number | null; users: { id: number; name: string; group_ids: number[] }[] }

export const site = () => ask<Site>('/api/v1/boot/site')
export const publish = (channel: string, message: object) => ask<{ reached: number; forwarded: boolean }>('/api/v1/channels', { method: 'POST', body: { channel, message } })
