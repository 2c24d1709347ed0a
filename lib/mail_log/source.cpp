// SPDX-License-Identifier: Apache-2.0
#include "lib/mail_log/source.hpp"

#include "lib/mail_log/follower.hpp"
#include "lib/mail_log/journal.hpp"

namespace postfathom {

std::string to_string(const MailLogPlace& place) {
    if (place.journal) return "the systemd journal";
    return place.file.empty() ? "not followed" : place.file;
}

std::unique_ptr<MailLogSource> open_mail_log(const boost::asio::any_io_executor& executor,
                                             const MailLogPlace& place,
                                             MailLogSource::OnLine on_line) {
    if (place.journal)
        return std::make_unique<JournalFollower>(executor, std::move(on_line), place.position_file);
    if (place.file.empty()) return nullptr;
    return std::make_unique<LogFollower>(executor, place.file, std::move(on_line),
                                         place.position_file);
}

}  // namespace postfathom
