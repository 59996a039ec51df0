// Where the console starts.

import './style/base.css';
import './style/shell.css';
import './style/parts.css';

import { QueryClientProvider } from '@tanstack/react-query';
import { StrictMode } from 'react';
import { createRoot } from 'react-dom/client';
import { whenSignedOut } from './api/client';
import { App } from './app';
import { newClient } from './queries';
import { forget } from './session';
import { showTheme, storedTheme } from './theme';

showTheme(storedTheme());
const client = newClient();
whenSignedOut(() => forget(client));

const root = document.getElementById('root');
if (!root) throw new Error('index.html has no #root');
createRoot(root).render(
  <StrictMode>
    <QueryClientProvider client={client}>
      <App />
    </QueryClientProvider>
  </StrictMode>,
);
