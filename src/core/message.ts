/** @file The message, the atom of every dialogue. */

/** `user` = the seeker, `assistant` = the recommender. */
export interface Message {
  role: 'user' | 'assistant';
  content: string;
}
