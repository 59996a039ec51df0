<?php
// Receives BuildWorkPro's webhooks. PHP 8.1 or newer, no packages. Put it where your web server runs PHP, or try it out:
//   WEBHOOK_SECRET=whsec_… php -S 127.0.0.1:3000 receiver.php

declare(strict_types=1);
ini_set('display_errors', '0'); // With it, PHP would answer 200 when this script fails.

const TOLERANCE_SECONDS = 300;
const BODY_BYTES_MAX = 1024 * 1024;

/** Throws unless BuildWorkPro signed these bytes just now. $body is exactly as it came: never parse it first. */
function verify(array $secrets, string $header, string $body, int $now): void
{
    if ($header === '') {
        throw new InvalidArgumentException('no BuildWorkPro-Signature header');
    }
    $time = null;
    $signatures = [];
    foreach (explode(',', $header) as $field) {
        if ($time === null && preg_match('/\At=([0-9]{1,12})\z/', $field, $found)) {
            $time = $found[1];
        } elseif (preg_match('/\Av1=([0-9a-f]{64})\z/', $field, $found)) {
            $signatures[] = $found[1];
        }
    }
    if ($time === null || $signatures === []) {
        throw new InvalidArgumentException('the BuildWorkPro-Signature header is not t=<seconds>,v1=<64 hex digits>');
    }
    if (abs($now - (int) $time) > TOLERANCE_SECONDS) {
        throw new InvalidArgumentException('the timestamp is more than 300 s away from this clock');
    }
    foreach ($secrets as $secret) {
        $expected = hash_hmac('sha256', "$time.$body", $secret);
        foreach ($signatures as $signature) {
            if (hash_equals($expected, $signature)) {
                return;
            }
        }
    }
    throw new InvalidArgumentException('no signature fits: another secret, or the body is not the bytes that came');
}

function answer(int $status, string $text): never
{
    http_response_code($status);
    header('Content-Type: text/plain');
    exit("$text\n");
}

// The key is the whole secret, whsec_ included. While you rotate it: the old and the new one, separated by a comma.
$secrets = array_filter(explode(',', getenv('WEBHOOK_SECRET') ?: 'whsec_REPLACE_ME'), fn ($secret) => $secret !== '');
foreach ($secrets as $secret) {
    if (str_ends_with($secret, '_REPLACE_ME')) {
        answer(500, "set WEBHOOK_SECRET to your endpoint's secret");
    }
}
$body = file_get_contents('php://input', length: BODY_BYTES_MAX + 1);
if (strlen($body) > BODY_BYTES_MAX) {
    answer(413, 'the body is larger than ' . BODY_BYTES_MAX . ' bytes');
}
try {
    verify($secrets, $_SERVER['HTTP_BUILDWORKPRO_SIGNATURE'] ?? '', $body, time());
} catch (InvalidArgumentException $error) {
    answer(400, $error->getMessage()); // It appears in the delivery log, where you will look for it.
}
$event = json_decode($body, true, 512, JSON_THROW_ON_ERROR);
// The events that were handled. In production: a unique column, written in the transaction that does the work.
$handled = sys_get_temp_dir() . '/handled-' . preg_replace('/[^\w-]/', '', $event['id']);
if (!file_exists($handled)) {
    // Only store the event here, in a table or a queue, and do the work in another process.
    error_log("received {$event['type']} {$event['id']}");
    touch($handled);
}
answer(200, 'ok');
