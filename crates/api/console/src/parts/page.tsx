// The head of a page: its heading takes the focus when the reader comes from another page.

import { type ReactNode, useEffect, useRef } from 'react';
import { Link, navigationCount } from '../router';

interface PageProps {
  title: string;
  lead?: ReactNode;
  /** What stands above the title: where in the settings this is. */
  crumbs?: { name: string; to?: string }[];
  actions?: ReactNode;
  isNarrow?: boolean;
  children: ReactNode;
}

export function Page({ title, lead, crumbs, actions, isNarrow = false, children }: PageProps) {
  const heading = useRef<HTMLHeadingElement>(null);
  useEffect(() => {
    // At first the browser's own start is right: a screen reader reads the page from its top.
    if (navigationCount() > 0) heading.current?.focus({ preventScroll: true });
  }, []);
  useEffect(() => {
    document.title = `${title} · Plumbline`;
  }, [title]);
  return (
    <div className={isNarrow ? 'page narrow' : 'page'}>
      <header className="page-head">
        <div>
          {crumbs && (
            <nav className="crumbs" aria-label="Breadcrumb">
              <ol>
                {crumbs.map((crumb) => (
                  <li key={crumb.name}>{crumb.to ? <Link to={crumb.to}>{crumb.name}</Link> : crumb.name}</li>
                ))}
              </ol>
            </nav>
          )}
          <h1 ref={heading} tabIndex={-1}>
            {title}
          </h1>
          {lead && <p className="lead">{lead}</p>}
        </div>
        {actions && <div className="row">{actions}</div>}
      </header>
      {children}
    </div>
  );
}

export function Empty({ title, children, actions }: { title: string; children?: ReactNode; actions?: ReactNode }) {
  return (
    <div className="empty">
      <h2>{title}</h2>
      {children}
      {actions && <div className="row">{actions}</div>}
    </div>
  );
}
