// SPDX-License-Identifier: Apache-2.0
#include "probes/dialog.hpp"

#include "probes/smtp_dialog.hpp"

namespace postfathom {

Dialog::Dialog(Service service) : service_(service) {
    if (!implicit_tls(service_)) return;
    phase_ = Phase::handshake;
    step_ = Step::start_tls;
}

void Dialog::finish(Outcome outcome) {
    outcome_ = outcome;
    step_ = Step::close;
}

void Dialog::interrupted(Outcome outcome) {
    if (step_ == Step::close) return;
    const bool leaving = phase_ == Phase::quit || outcome_ != Outcome::ok;
    finish(leaving ? outcome_ : outcome);
}

std::unique_ptr<Dialog> make_dialog(Service service, const std::string& own_name) {
    return std::make_unique<SmtpDialog>(service, own_name);
}

}  // namespace postfathom
