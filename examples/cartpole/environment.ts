// The cart-pole: a pole hinged on a cart that is pushed left or right, and must not fall.
//
// Equations and constants: A. G. Barto, R. S. Sutton, C. W. Anderson, "Neuronlike adaptive elements that can solve
// difficult learning control problems", IEEE Trans. Systems, Man, and Cybernetics SMC-13(5), 834-846, 1983, appendix.
// Start states near upright, the reward of 1 per step and the limit of 500 steps are the usual ones since then.
import type { Random } from './random.ts';

const GRAVITY = 9.8; // m/s²
const CART_MASS = 1.0; // kg
const POLE_MASS = 0.1; // kg
const POLE_HALF_LENGTH = 0.5; // m
const CART_FRICTION = 0.0005; // of the cart on the track
const POLE_FRICTION = 0.000002; // of the pole on the cart
const FORCE = 10; // N, to the left or to the right
const TIME_STEP = 0.02; // s, Euler's method
const TRACK_LIMIT = 2.4; // m from the middle
const ANGLE_LIMIT = (12 * Math.PI) / 180; // from upright

const TOTAL_MASS = CART_MASS + POLE_MASS;
const START_SPREAD = 0.05;

export const OBSERVATION_SIZE = 4;
export const ACTION_COUNT = 2;
export const MAX_EPISODE_STEPS = 500;

export interface StepResult {
  readonly reward: number;
  /** The pole fell or the cart left the track: there is no future to value. */
  readonly fell: boolean;
  /** The episode is over, because it fell or because it reached its limit of steps. */
  readonly done: boolean;
}

export class CartPole {
  /** Cart position (m), cart velocity (m/s), pole angle (rad), angular velocity (rad/s). */
  readonly state = new Float64Array(OBSERVATION_SIZE);
  /** Steps, and so reward, of the episode under way. */
  steps = 0;
  readonly #random: Random;

  constructor(random: Random) {
    this.#random = random;
    this.reset();
  }

  reset(): void {
    for (let i = 0; i < OBSERVATION_SIZE; i++) this.state[i] = (this.#random() * 2 - 1) * START_SPREAD;
    this.steps = 0;
  }

  /** @param action 0 pushes to the left, 1 to the right. */
  step(action: number): StepResult {
    const [position, velocity, angle, angularVelocity] = this.state as unknown as Quadruple;
    const force = action === 1 ? FORCE : -FORCE;
    const sine = Math.sin(angle);
    const cosine = Math.cos(angle);
    const friction = CART_FRICTION * Math.sign(velocity);
    const poleMoment = POLE_MASS * POLE_HALF_LENGTH;

    const push = (-force - poleMoment * angularVelocity ** 2 * sine + friction) / TOTAL_MASS;
    const angularAcceleration =
      (GRAVITY * sine + cosine * push - (POLE_FRICTION * angularVelocity) / poleMoment) /
      (POLE_HALF_LENGTH * (4 / 3 - (POLE_MASS * cosine ** 2) / TOTAL_MASS));
    const acceleration =
      (force + poleMoment * (angularVelocity ** 2 * sine - angularAcceleration * cosine) - friction) /
      TOTAL_MASS;

    this.state[0] = position + TIME_STEP * velocity;
    this.state[1] = velocity + TIME_STEP * acceleration;
    this.state[2] = angle + TIME_STEP * angularVelocity;
    this.state[3] = angularVelocity + TIME_STEP * angularAcceleration;
    this.steps++;
    const fell = Math.abs(this.state[0]) > TRACK_LIMIT || Math.abs(this.state[2]) > ANGLE_LIMIT;
    return { reward: 1, fell, done: fell || this.steps >= MAX_EPISODE_STEPS };
  }
}

type Quadruple = readonly [number, number, number, number];
