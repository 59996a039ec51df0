# Receives BuildWorkPro's webhooks. Ruby 3.0 or newer, no gems.
#
#   WEBHOOK_SECRET=whsec_… PORT=3000 ruby receiver.rb
#
# Receiver is a Rack application: in production mount it in Rails' routes, or `run Receiver` in config.ru.
require "json"
require "openssl"
require "socket"
require "stringio"

# The key is the whole secret, whsec_ included. While you rotate it: the old and the new one, separated by a comma.
SECRETS = [ENV["WEBHOOK_SECRET"], "whsec_REPLACE_ME"].find { |text| !text.to_s.empty? }.split(",").reject(&:empty?)
abort "set WEBHOOK_SECRET to your endpoint's secret" if SECRETS.any? { |secret| secret.end_with?("_REPLACE_ME") }
TOLERANCE_SECONDS = 300
BODY_BYTES_MAX = 1024 * 1024

# Raises ArgumentError unless BuildWorkPro signed these bytes just now. `body` is exactly as it came: never parse it first.
def verify(header, body, now: Time.now.to_i)
  raise ArgumentError, "no BuildWorkPro-Signature header" if header.nil? || header.empty?

  fields = header.split(",")
  time = fields.filter_map { |field| field[/\At=([0-9]{1,12})\z/, 1] }.first
  signatures = fields.filter_map { |field| field[/\Av1=([0-9a-f]{64})\z/, 1] }
  if time.nil? || signatures.empty?
    raise ArgumentError, "the BuildWorkPro-Signature header is not t=<seconds>,v1=<64 hex digits>"
  end
  if (now - time.to_i).abs > TOLERANCE_SECONDS
    raise ArgumentError, "the timestamp is more than 300 s away from this clock"
  end

  fits = SECRETS.any? do |secret|
    expected = OpenSSL::HMAC.hexdigest("SHA256", secret, "#{time}.".b + body.b)
    signatures.any? { |signature| OpenSSL.fixed_length_secure_compare(signature, expected) }
  end
  raise ArgumentError, "no signature fits: another secret, or the body is not the bytes that came" unless fits
end

# The events that were handled. In production: a unique column, written in the transaction that does the work.
HANDLED = {}
HANDLING = Mutex.new

Receiver = lambda do |env|
  answer = ->(status, text) { [status, { "content-type" => "text/plain" }, ["#{text}\n"]] }
  body = env["rack.input"].read(BODY_BYTES_MAX + 1) || ""
  next answer.call(413, "the body is larger than #{BODY_BYTES_MAX} bytes") if body.bytesize > BODY_BYTES_MAX

  begin
    verify(env["HTTP_BUILDWORKPRO_SIGNATURE"], body)
  rescue ArgumentError => error
    next answer.call(400, error.message) # It appears in the delivery log, where you will look for it.
  end
  event = JSON.parse(body)
  HANDLING.synchronize do
    unless HANDLED.key?(event["id"])
      # Only store the event here, in a table or a queue, and do the work after the answer.
      puts "received #{event["type"]} #{event["id"]}"
      HANDLED[event["id"]] = true
      HANDLED.shift if HANDLED.size > 10_000
    end
  end
  answer.call(200, "ok")
rescue StandardError => error
  warn error.full_message
  [500, { "content-type" => "text/plain" }, ["not handled: send it again\n"]] # Every 5xx is tried again.
end

# Enough of a server to try it out, because Ruby no longer comes with one.
if __FILE__ == $PROGRAM_NAME
  $stdout.sync = true
  server = TCPServer.new("127.0.0.1", Integer(ENV.fetch("PORT", "3000")))
  loop do
    Thread.new(server.accept) do |client|
      head = client.gets("\r\n\r\n", 65_536).to_s
      env = head.scan(/^([A-Za-z0-9-]+):[ \t]*([^\r\n]*)/).to_h { |name, value| ["HTTP_#{name.upcase.tr("-", "_")}", value] }
      length = [env["HTTP_CONTENT_LENGTH"].to_i, BODY_BYTES_MAX + 1].min
      env["rack.input"] = StringIO.new(client.read(length) || "")
      status, headers, parts = Receiver.call(env)
      lines = headers.map { |name, value| "#{name}: #{value}\r\n" }.join
      client.write("HTTP/1.1 #{status} \r\n#{lines}connection: close\r\n\r\n#{parts.join}")
    ensure
      client.close
    end
  end
end
